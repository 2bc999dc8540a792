"""Studies of systems that align language models: on tables of logits and in the laboratory."""
