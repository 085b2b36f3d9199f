"""First-order MAML."""

from learners.methods.maml import MAML


class FOMAML(MAML):
    """Meta-learns the start of a network as MAML does, without second derivatives.

    min_theta  sum_episodes L_query(theta_T),  with  d theta_T / d theta_0 := 1,

    so the meta-gradient of an episode is grad L_query at theta_T. The inner gradients count as constants; learned rates
    still have their exact gradient -<g_t, grad L_query(theta_T)>. The arguments are those of ``MAML``.

    C. Finn, P. Abbeel, S. Levine. Model-agnostic meta-learning for fast adaptation of deep networks. ICML 2017,
    section 5.2. https://arxiv.org/abs/1703.03400
    """

    name = "fomaml"
    first_order = True
