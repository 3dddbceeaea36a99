"""The figures of a report, where they belong."""

from collections.abc import Callable

from supcon_tf.evaluation.report.content import Content


def pictures_of(section: str) -> Callable[[Content], str]:
    """The section that shows the figures which belong to another one."""

    def pictures(content: Content) -> str:
        return "\n\n".join(
            f"![{picture.caption}]({picture.path.parent.name}/{picture.path.name})\n\n"
            f"{picture.caption}."
            for picture in content.pictures
            if picture.section == section
        )

    return pictures
