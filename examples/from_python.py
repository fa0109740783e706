"""Search on arrays, look at the trials, and take the winner along."""

from sklearn.datasets import load_digits

from metanas import search

if __name__ == "__main__":
    digits = load_digits()
    images = (digits.images * 15.9).astype("uint8")  # [1797, 8, 8], pixels 0 to 255
    found = search(
        (images, digits.target),
        space="examples/my_net.py:space",
        objective=["accuracy", "flops<1e6"],
        trials=8,
        epochs=2,
    )
    print(found.frame()[["number", "depth", "width", "accuracy", "flops", "front"]])
    print(f"trial {found.best.number}: {found.why}; on test {found.test}")
    model = found.model()  # an nn.Module: pixels in, scores out
    found.export("my_winner")  # model.py and weights that need torch alone
