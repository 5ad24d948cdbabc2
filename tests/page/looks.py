"""What the page looks like, asked of the page itself: scripts that run in it."""

# Whether nothing sticks out sideways.
LEFT_OF_THE_EDGE = "return document.documentElement.scrollWidth <= innerWidth"

# Whether nothing of these elements is cut off, or lies on the dial around the hub.
WHOLE = """
return [...arguments].map(byId).every((node) => node.offsetWidth > 0 && node.scrollWidth <= node.offsetWidth)
  && byId("left").offsetWidth < 2 * place.dial;
"""

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

# The texts of labels that lie on the ring: how many, and those of them that the ring's stroke is seen behind.
CROSSED = """
const circle = document.getElementById("circle").getBoundingClientRect();
const [x, y] = [circle.x + circle.width / 2, circle.y + circle.height / 2], { radius } = place;
const isOnTheRing = ({ left, right, top, bottom }) => {
  const near = Math.hypot(Math.max(left - x, x - right, 0), Math.max(top - y, y - bottom, 0));
  const far = Math.hypot(Math.max(x - left, right - x), Math.max(y - top, bottom - y));
  return near <= radius && radius <= far;
};
const texts = [...document.querySelectorAll("#labels .label:not([hidden]) > *")].filter((text) => text.textContent && text.offsetWidth);
const crossed = texts.filter((text) => isOnTheRing(text.getBoundingClientRect()));
const isBare = (text) => getComputedStyle(text).backgroundColor.match(/[\\d.]+/g).map(Number)[3] === 0;
return [crossed.length, crossed.filter(isBare).map((text) => text.textContent)];
"""
