() => new Promise(resolve => {
  // Texts that lie over one another, what is wider than the screen, and when something was first to be seen.
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.data.trim()) continue;
    const element = node.parentElement;
    if (element.closest('title, desc, script, style, .skip')) continue;
    const closed = element.closest('details:not([open])');
    if (closed && !element.closest('summary')) continue;
    if (getComputedStyle(element).visibility === 'hidden') continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const each of range.getClientRects())
      if (each.width > 1 && each.height > 1 && each.right > 0)
        boxes.push([each.left, each.top, each.right, each.bottom, node.data.trim().slice(0, 40)]);
  }
  boxes.sort((a, b) => a[1] - b[1]);
  const overlaps = [];
  for (let i = 0; i < boxes.length; i++)
    for (let j = i + 1; j < boxes.length && boxes[j][1] < boxes[i][3]; j++) {
      const across = Math.min(boxes[i][2], boxes[j][2]) - Math.max(boxes[i][0], boxes[j][0]);
      const down = Math.min(boxes[i][3], boxes[j][3]) - Math.max(boxes[i][1], boxes[j][1]);
      if (across > 2 && down > 5) overlaps.push([boxes[i][4], boxes[j][4]]);
    }
  const root = document.documentElement;
  const tell = paint => resolve({
    texts: boxes.length, overlaps: overlaps.slice(0, 5), wide: root.scrollWidth - root.clientWidth,
    paper: getComputedStyle(document.body).backgroundColor, paint,
  });
  const observer = new PerformanceObserver(list => {
    for (const entry of list.getEntries())
      if (entry.name === 'first-contentful-paint') { observer.disconnect(); tell(entry.startTime); }
  });
  observer.observe({type: 'paint', buffered: true});
})
