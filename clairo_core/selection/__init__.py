"""Choose among items: filters on attributes, diversity, nearest items by embedding."""
