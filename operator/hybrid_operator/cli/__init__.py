"""`hinf`: what a resource will do, before and after it is applied."""
