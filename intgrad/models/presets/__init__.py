"""What other libraries call the preprocessing of a model, recognised without importing them."""
