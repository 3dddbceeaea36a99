"""Images for training: where they come from, how they are divided and augmented.

`load` reads a data set into memory once; `supcon_tf.data.batches` makes batches of
it and `supcon_tf.data.augmentation.policies` changes their pixels.

```python
from supcon_tf.config import DataConfig
from supcon_tf.data import ImageData, Split, load

data: ImageData = load(DataConfig(dataset="digits", limit_train=100))
few = Split(data.test.images[:10], data.test.labels[:10])
```
"""

from supcon_tf.data.image_data import ImageData, Split
from supcon_tf.data.loader import load

__all__ = ["ImageData", "Split", "load"]
