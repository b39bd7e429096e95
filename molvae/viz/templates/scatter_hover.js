// Shows the structure of the molecule under the pointer, in addition to plotly's hover label, which holds text only.
const plot = document.getElementById('{plot_id}');
const image = document.createElement('img');
image.style = 'position:fixed;display:none;pointer-events:none;background:white;border:1px solid silver';
document.body.appendChild(image);

async function structureUrl(compressed) {
  const bytes = Uint8Array.from(atob(compressed), character => character.charCodeAt(0));
  const svg = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return 'data:image/svg+xml,' + encodeURIComponent(await new Response(svg).text());
}

let hovered;  // the pointer may have left a point before its structure is decompressed
plot.on('plotly_hover', async ({points, event}) => {
  const point = hovered = points[0];
  if (!point.customdata) return;
  const url = await structureUrl(point.customdata);
  if (point !== hovered) return;
  image.src = url;
  image.style.left = (event.clientX < window.innerWidth / 2 ? event.clientX + 25 : event.clientX - 245) + 'px';
  image.style.top = Math.min(event.clientY + 25, window.innerHeight - 170) + 'px';
  image.style.display = 'block';
});
plot.on('plotly_unhover', () => { hovered = null; image.style.display = 'none'; });
