"""How recommendations are judged, and what they are compared with."""
