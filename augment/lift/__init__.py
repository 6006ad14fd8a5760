"""Does it help? Classifiers trained on real data with and without synthetic samples, judged on held-out real data.

Owns the arms, how one is trained, what it scores, how two are compared, and what is recommended. Arrays come
in and go out: where samples come from, and where trials run, is the floors' above.
"""
