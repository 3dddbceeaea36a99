"""The projector's page in a real browser, drawing a real snapshot."""

import io
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from tensorboard_server import tensorboard_server

from supcon_tf.config import DataConfig, ModelConfig
from supcon_tf.data import load
from supcon_tf.models.build import build_classifier
from supcon_tf.visualization.tensorboard.projector import SnapshotWriter

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="chromium or chromium-driver is missing"
    ),
]
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,950",
)
# The page keeps its elements in shadow trees within shadow trees.
FIND = """
const find = (root, selector) => [
  ...root.querySelectorAll(selector),
  ...[...root.querySelectorAll('*')].flatMap(
    (element) => element.shadowRoot ? find(element.shadowRoot, selector) : []),
];
const panel = find(document, 'vz-projector-data-panel')[0];
"""
# The sprites that the page has fetched.
ASKED = """performance.getEntriesByType('resource').map((entry) => entry.name)
  .filter((url) => url.includes('/sprite_image?'))"""
IMAGES = 40
# A software renderer needs up to 40 seconds for the first picture, an idle machine 10.
PATIENCE = 400


class Page:
    """The projector within TensorBoard's page: two frames, one in the other."""

    def __init__(self, driver, address):
        self.driver = driver
        driver.get(f"{address}/#projector")
        for _ in range(2):
            frame = self.wait_for("return find(document, 'iframe')[0]")
            driver.switch_to.frame(frame)
        self.wait_for("return panel?.selectedTensor && panel.colorOptions?.length")

    def run(self, script):
        return self.driver.execute_script(FIND + script)

    def wait_for(self, script):
        deadline = time.monotonic() + PATIENCE
        while not (found := self.run(script)):
            assert time.monotonic() < deadline, f"the page never had: {script}"
            time.sleep(0.5)
        return found

    def choose(self, tensor, color):
        """Shows a tensor, as a click in the drop-down list does."""
        self.run(f"panel.selectedTensor = {tensor!r}")
        name = tensor.replace(" ", "%20")
        self.wait_for(f"return {ASKED}.some((url) => url.includes({name!r}))")
        self.run(f"panel.selectedColorOptionName = {color!r}")
        self.wait_for("return panel.colorLegendRenderInfo?.items.length")

    def texts(self, selector):
        """The visible text of all elements that match."""
        return self.run(
            f"return find(document, {selector!r}).map((e) => e.innerText.trim())"
        )

    def colors(self):
        """How many pixels of the picture in the middle of the page have a colour."""
        canvas = self.run("return find(document, '#scatter')[0]")
        with Image.open(io.BytesIO(canvas.screenshot_as_png)) as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        return int((np.ptp(pixels, axis=2) > 40).sum())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    data = load(DataConfig(dataset="digits", limit_test=IMAGES, limit_train=100))
    mean, std = (0.3,) * 3, (0.4,) * 3
    model = build_classifier(
        ModelConfig(width=4), data.image_shape, data.class_names, mean, std
    )
    folder = tmp_path_factory.mktemp("tensorboard")
    SnapshotWriter(
        model, data.test, folder, class_names=data.class_names, count=IMAGES
    ).write("finetune")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    service = webdriver.ChromeService(DRIVER, env={**os.environ, "LANG": "C.UTF-8"})
    with tensorboard_server(folder) as server:
        server.wait_for(lambda: server.get_json("plugin/projector/runs"))
        driver = webdriver.Chrome(options, service)
        try:
            yield Page(driver, server.address)
        finally:
            driver.quit()


def test_the_page_offers_the_tensors_of_the_run(page):
    offered = page.run("return panel.tensorNames.map(tensor => tensor.name)")
    assert offered == ["finetune adversarial", "finetune clean"]
    items = [" ".join(text.split()) for text in page.texts("paper-item")]
    assert f"finetune adversarial {IMAGES}x32" in items
    assert f"finetune clean {IMAGES}x32" in items


def test_the_page_shows_every_point_with_its_label_and_class_as_colour(page):
    page.choose("finetune clean", "class")
    assert page.texts(".numDataPoints") == [str(IMAGES)]
    assert page.run("return panel.selectedLabelOption") == "class → predicted"
    legend = page.run(
        "return panel.colorLegendRenderInfo.items.map(i => [i.label, i.count])"
    )
    assert sorted(legend) == [[str(digit), IMAGES // 10] for digit in range(10)]


def test_the_page_draws_thumbnails_from_the_sprite(page):
    page.choose("finetune adversarial", "class")
    sprite = page.run("return panel.spriteAndMetadata.spriteImage?.naturalWidth")
    assert sprite == 7 * 32
    # Only the axes have a colour of their own; the images take that of their class.
    page.wait_for("return find(document, '#scatter canvas').length")
    deadline = time.monotonic() + PATIENCE
    while page.colors() < 2000:
        assert time.monotonic() < deadline, f"only {page.colors()} pixels have a colour"
        time.sleep(1)


def test_the_page_reports_no_error(page):
    severe = [e for e in page.driver.get_log("browser") if e["level"] == "SEVERE"]
    # TensorBoard's own script stumbles over a click that comes before its first
    # projection is there, as it does on a slow machine.
    own = "reading 'projectionCanBeRendered'"
    assert [e for e in severe if own not in e["message"]] == []
    assert not [text for text in page.texts("#notification-dialog") if "rror" in text]
