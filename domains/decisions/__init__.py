"""Problems of decisions in sequence, as trials behind Gymnasium's vector interface."""
