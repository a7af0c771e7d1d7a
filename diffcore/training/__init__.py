"""What training needs besides arithmetic, and every backend shares.

Recipes, data, the run folder, its log of metrics, pictures, and the judging of samples. NumPy
alone; Pillow, pyarrow, scikit-learn, matplotlib, tensorboard and datasets load where they are used.
"""
