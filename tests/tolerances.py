EXACT = 1e-12  # relative: the same algebra in another order
FLOAT = 1e-9   # absolute or relative: long float64 sums
SIGMAS = 5     # standard errors between a prediction and a Monte Carlo mean
