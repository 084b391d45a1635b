"""Networks that turn the tokens of two proteins into a logit, their training and their files."""
