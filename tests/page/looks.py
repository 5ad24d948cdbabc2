"""What the page looks like, asked of the page itself: scripts that run in it."""

# Whether nothing sticks out sideways.
LEFT_OF_THE_EDGE = "return document.documentElement.scrollWidth <= innerWidth"

# Of every text that is shown: its contrast to what is behind it, and its words; the poorest first.
CONTRASTS = """
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
  const [r, g, b] = channels(color).map((value) => value / 255)
    .map((value) => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const behind = (node) => {
  const disc = node.closest("#seats g")?.querySelector("circle");
  if (disc) return getComputedStyle(disc).fill;
  for (let at = node; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (channels(color)[3] !== 0) return color;
  }
};
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement, words = walker.currentNode.data.trim();
  if (!words || !node.getClientRects().length || node.closest("script, noscript, .unseen")) continue;
  const style = getComputedStyle(node), front = node instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [light(front), light(behind(node))].sort((x, y) => y - x);
  found.push([(a + .05) / (b + .05), words]);
}
return found.sort((x, y) => x[0] - y[0]);
"""
