"""Forward, backward, updates and schedules by hand: pure functions of tensors, nothing but torch."""
