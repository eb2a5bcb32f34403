"""The small checkpoint that ships: its text, its training, what it is judged by. Run by tools/tiny_text, train_tiny, judge_tiny."""
