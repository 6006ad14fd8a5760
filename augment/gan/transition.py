"""Transitional training: first without classes, then more and more with them.

"Collapse by conditioning: training class-conditional GANs with limited data" (Shahbazi et al., ICLR 2022)
learns what all classes share first. Owns how far along that is. Knows neither the networks nor the losses
that it scales.
"""

__all__ = ["transition_strength"]


def transition_strength(progress: float, *, begin: float, end: float) -> float:
    """λ_t = min(max((t − T_s) / (T_e − T_s), 0), 1), with t, T_s and T_e as shares of the run.

    0 is unconditional, 1 conditional. The paper multiplies by it the generator's class embedding and the
    conditional part of both players' losses, beside an unconditional part that stays. Where begin = end it
    steps from 0 to 1 there: begin = end = 0 is conditional throughout.
    """
    if progress >= end:
        return 1.0
    return (progress - begin) / (end - begin) if progress > begin else 0.0
