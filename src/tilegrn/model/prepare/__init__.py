"""What is computed once from the training cells: vocabulary, components, features of genes."""
