"""stub"""
def retrieve(*a): raise NotImplementedError
