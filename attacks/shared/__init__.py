"""What several families of attacks use: options, tries, targets."""
