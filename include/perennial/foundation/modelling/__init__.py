"""What all models have in common: how they are grown, judged, promoted, tracked and rolled back."""
