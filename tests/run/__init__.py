"""The rules of judging, line by line, and the loop that keeps them."""
