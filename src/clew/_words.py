"""How figures are written for people."""


def number(value: float) -> str:
    """Thousands as whole numbers with commas, smaller ones with four digits: 11,383 and 0.1756."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
