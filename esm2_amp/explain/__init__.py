"""Why a trained model scores a pair as it does, and whether the explanation is true."""
