"""Search for hyperparameters: spaces, cross-validated trials, studies that several workers share, results."""
