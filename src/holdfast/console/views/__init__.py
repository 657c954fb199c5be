"""Read models: one function per question, values out. Pages ask no store, and count on at most five queries."""
