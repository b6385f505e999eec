"""Images on the host, class by class: Omniglot, and photographs in the forms they are kept in.

NumPy only; tensorflow-datasets, Pillow (extra `images`) where files are read.
"""
