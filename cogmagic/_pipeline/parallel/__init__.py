"""One video on several GPUs: how its work is divided, and a rank's share of it."""
