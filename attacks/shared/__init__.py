"""Code that several families of attacks use: options, tries, targets."""
