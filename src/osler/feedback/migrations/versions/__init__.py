"""One module a version of the tables. A version that was released never changes; there is no way back."""
