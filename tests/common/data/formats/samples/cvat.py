"""CVAT for images 1.1 as a project exports it, with subsets and all kinds of shapes."""

from tests.common.data.formats.samples import Counts, images

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <project>
      <id>7</id>
      <name>street</name>
      <created>2024-05-01 10:00:00.000000+00:00</created>
      <labels>
        <label><name>dog</name><color>#c06060</color><type>any</type><attributes>
          <attribute><name>age</name><mutable>False</mutable><input_type>number</input_type>
          <default_value>0</default_value><values>0\n10\n1</values></attribute></attributes></label>
        <label><name>cat</name><color>#00ff00</color><type>any</type><attributes/></label>
        <label><name>night</name><color>#0000ff</color><type>tag</type><attributes/></label>
        <label><name>day</name><color>#0000fe</color><type>tag</type><attributes/></label>
      </labels>
      <subsets>Train\nValidation</subsets>
    </project>
    <dumped>2024-05-02 10:00:00.000000+00:00</dumped>
  </meta>
"""
DRAWN = """
    <box label="dog" source="manual" occluded="0" xtl="1.50" ytl="2.00" xbr="30.00" ybr="40.00"
     z_order="0"><attribute name="age">3</attribute></box>
    <polygon label="cat" source="manual" occluded="0"
     points="10.00,20.00;40.00,20.00;40.00,60.00;10.00,60.00" z_order="0"></polygon>
    <mask label="dog" source="semi-auto" occluded="0" rle="0, 2, 2, 2" left="60" top="70" width="3"
     height="2" z_order="0"></mask>
    <ellipse label="cat" source="manual" occluded="0" cx="70.00" cy="20.00" rx="10.00" ry="5.00"
     z_order="0"></ellipse>
    <points label="cat" source="manual" occluded="0" points="5.00,6.00" z_order="0"></points>
"""


def make(task):
    shapes = "" if task == "classification" else DRAWN
    body = f"""
  <image id="0" name="1.jpg" subset="Train" task_id="3" width="100" height="80">{shapes}
    <tag label="night" source="manual"></tag>
  </image>
  <image id="1" name="2.jpg" subset="Train" task_id="3" width="100" height="80">
    <tag label="day" source="manual"></tag>
  </image>
  <image id="2" name="1.jpg" subset="Validation" task_id="4" width="100" height="80">
    <tag label="day" source="manual"></tag>
  </image>
</annotations>
"""
    files = images("images/Train/1.jpg", "images/Train/2.jpg", "images/Validation/1.jpg")
    return files | {"annotations.xml": (HEAD + body).encode()}


def expected(task):
    splits = {"train": 2, "val": 1}
    if task == "classification":
        return Counts(3, {"night": 1, "day": 2}, splits, set())
    noticed = {"SHAPES_UNUSABLE", "TAGS_NOT_READ", "ATTRIBUTES_NOT_READ", "IMAGES_WITHOUT_OBJECT"}
    if task == "detection":
        findings = noticed | {"BOXES_AROUND_OUTLINES"}
        return Counts(3, {"dog": 2, "cat": 2}, splits, findings)
    noticed.add("OBJECTS_WITHOUT_OUTLINE")
    if task == "instance-segmentation":
        return Counts(3, {"dog": 1, "cat": 2}, splits, noticed)
    # The ellipse has an area of 157; drawn, it has 162 pixels.
    cat, dog = 30 * 40 + 162, 4
    pixels = {"background": 3 * 8000 - cat - dog, "dog": dog, "cat": cat}
    return Counts(3, pixels, splits, noticed)
