"""Read models: one function per question, values out, at most five queries each."""
