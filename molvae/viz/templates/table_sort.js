// Sorts the rows of each seed by a column, and shows them as a table or as a grid.
const headings = [...document.querySelectorAll('thead th')];
const select = document.getElementById('sort-column');
const directionButton = document.getElementById('sort-direction');
const viewButton = document.getElementById('view');
let column = 0, ascending = true;

function key(row) {
  const cell = row.cells[column];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = (cell.querySelector('bdi') || cell).textContent.trim();
  return text === '' ? null : text;
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);  // missing values are last in both directions
  const order = typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', {numeric: true});
  return ascending ? order : -order;
}

function sort(newColumn, newAscending) {
  column = newColumn;
  ascending = newAscending;
  for (const body of document.querySelectorAll('tbody')) {
    const rows = [...body.rows].filter(row => !row.classList.contains('seed'));
    const keyed = rows.map((row, index) => ({row, index, key: key(row)}));
    keyed.sort((a, b) => compare(a.key, b.key) || a.index - b.index);
    body.append(...keyed.map(item => item.row));
  }
  headings.forEach((heading, index) => {
    if (index === column) heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
    else heading.removeAttribute('aria-sort');
  });
  select.value = column;
  directionButton.textContent = ascending ? '▲ ascending' : '▼ descending';
}

function show(grid) {
  document.body.classList.toggle('grid', grid);
  viewButton.textContent = grid ? 'Show as table' : 'Show as grid';
}

headings.forEach((heading, index) => {
  if (heading.dataset.fixed !== undefined) return;
  const option = document.createElement('option');
  option.value = index;
  option.textContent = heading.textContent;
  select.append(option);
  const button = document.createElement('button');
  button.type = 'button';
  button.append(...heading.childNodes);
  // the first click on a number column shows the largest values first, except for the rank
  button.addEventListener('click', () => sort(index, index === column ? !ascending : index === 0 || isText(index)));
  heading.append(button);
});

function isText(index) {
  return ![...document.querySelectorAll('tbody tr')].some(row => row.cells[index].dataset.value !== undefined);
}

function hideEmptyColumns() {
  const rows = [...document.querySelectorAll('tbody tr')];
  headings.forEach((heading, index) => {
    if (!rows.length || rows.some(row => row.cells[index].dataset.empty === undefined)) return;
    for (const cell of [heading, ...rows.map(row => row.cells[index])]) cell.hidden = true;
    for (const option of select.options) if (Number(option.value) === index) option.hidden = true;
  });
}

if (headings.length) {
  document.querySelector('.toolbar').hidden = false;
  select.addEventListener('change', () => sort(Number(select.value), Number(select.value) === 0 || isText(Number(select.value))));
  directionButton.addEventListener('click', () => sort(column, !ascending));
  viewButton.addEventListener('click', () => show(!document.body.classList.contains('grid')));
  hideEmptyColumns();
  show(window.innerWidth < 900);
  sort(0, true);
}
