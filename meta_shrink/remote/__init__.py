"""Files and folders of an object store: a lease, and a local copy that is uploaded."""
