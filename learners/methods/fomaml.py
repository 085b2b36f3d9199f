"""First-order MAML (Finn, Abbeel & Levine 2017, section 5.2, "Model-Agnostic Meta-Learning for Fast Adaptation")."""

from learners.methods.maml import MAML


class FOMAML(MAML):
    """Meta-learns the start of a network as MAML does, without second derivatives.

    min_theta  sum_episodes L_query(theta_T),  with  d theta_T / d theta_0 := 1,

    so the meta-gradient of an episode is grad L_query at theta_T. The inner gradients count as constants; learned rates
    still have their exact gradient -<g_t, grad L_query(theta_T)>. Arguments are those of ``MAML``.
    """

    name = "fomaml"
    first_order = True
