'use strict';

// A view of the catalog for people: one table per tab, kept up to date by a blocking query.
// Everything is put in as text, never as HTML: names and outputs are other people's.

const main = document.getElementById('main');
const search = document.getElementById('search');
let round = 0; // grows with each change of the tab, so that answers for an older one are dropped

async function get(path, signal) {
  const response = await fetch('/v1/' + path, { signal });
  if (!response.ok) throw new Error(path.split('?')[0] + ': ' + (await response.text() || response.status));
  return { value: await response.json(), index: response.headers.get('X-Consul-Index') };
}

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function link(text, target) {
  const a = element('a', text);
  a.href = '#' + target;
  return a;
}

function worst(checks) {
  for (const s of ['critical', 'warning']) if (checks.some((c) => c.Status === s)) return s;
  return 'passing';
}

function show(columns, rows) {
  const wanted = search.value.toLowerCase();
  const table = element('table');
  const head = table.createTHead().insertRow();
  for (const c of columns) head.append(element('th', c));
  const body = table.createTBody();
  for (const row of rows) {
    const tr = element('tr');
    for (const cell of row) {
      const td = element('td');
      if (cell && cell.status) td.append(element('span', cell.status, cell.status));
      else if (cell && cell.output !== undefined) { td.textContent = cell.output; td.className = 'output'; }
      else td.append(cell ?? '');
      tr.append(td);
    }
    if (tr.textContent.toLowerCase().includes(wanted)) body.append(tr);
  }
  main.replaceChildren(table, body.rows.length ? '' : element('p', 'Nothing here.'));
}

function address(service, node) {
  const host = service.Address || node.Address;
  return (host.includes(':') ? '[' + host + ']' : host) + (service.Port ? ':' + service.Port : '');
}

const tabs = {
  async services(name, checks) {
    if (name) {
      const { value } = await get('health/service/' + encodeURIComponent(name) + '?stale');
      return () => show(['Node', 'Instance', 'Address', 'Tags', 'Health'], value.map((e) =>
        [link(e.Node.Node, 'nodes/' + encodeURIComponent(e.Node.Node)), e.Service.ID, address(e.Service, e.Node), e.Service.Tags.join(', '), { status: worst(e.Checks) }]));
    }
    const { value } = await get('catalog/services?stale');
    return () => show(['Service', 'Tags', 'Worst check'], Object.keys(value).sort().map((s) =>
      [link(s, 'services/' + encodeURIComponent(s)), value[s].join(', '), { status: worst(checks.filter((c) => c.ServiceName === s)) }]));
  },
  async nodes(name, checks) {
    if (name) {
      const { value } = await get('catalog/node/' + encodeURIComponent(name) + '?stale');
      const services = value ? Object.values(value.Services) : [];
      return () => show(['Service', 'Instance', 'Address', 'Health'], services.map((s) =>
        [link(s.Service, 'services/' + encodeURIComponent(s.Service)), s.ID, address(s, value.Node),
          { status: worst(checks.filter((c) => c.Node === name && (c.ServiceID === s.ID || !c.ServiceID))) }]));
    }
    const { value } = await get('catalog/nodes?stale');
    return () => show(['Node', 'Address', 'Worst check'], value.map((n) =>
      [link(n.Node, 'nodes/' + encodeURIComponent(n.Node)), n.Address, { status: worst(checks.filter((c) => c.Node === n.Node)) }]));
  },
  async checks(_, checks) {
    return () => show(['Node', 'Service', 'Check', 'Status', 'Output'], checks.map((c) =>
      [c.Node, c.ServiceName, c.Name, { status: c.Status }, { output: c.Output || c.Notes }]));
  },
  async containers() {
    const { value } = await get('agent/explain');
    return () => show(['Container', 'Image', 'State', 'Registered as', 'Or why not'], value.map((c) =>
      [c.Name || c.Container.slice(0, 12), c.Image, c.State,
        (c.Ports || []).filter((p) => p.ServiceID).map((p) => p.Service + ' ' + p.Address).join(', '),
        [c.Reason, ...(c.Ports || []).map((p) => p.Reason)].filter(Boolean).join(', ')]));
  },
};

async function follow() {
  const mine = ++round;
  const [tab, name] = (location.hash.slice(1) || 'services').split('/');
  for (const a of document.querySelectorAll('nav a')) a.classList.toggle('current', a.hash === '#' + tab);
  let index = 0;
  while (mine === round) {
    try {
      const checks = await get('health/state/any?stale&wait=60s&index=' + index);
      if (mine !== round) return;
      index = Number(checks.index) >= index ? checks.index : 0;
      const draw = await (tabs[tab] || tabs.services)(name && decodeURIComponent(name), checks.value);
      if (mine !== round) return;
      draw();
      search.oninput = draw;
      document.getElementById('problem').hidden = true;
    } catch (err) {
      const problem = document.getElementById('problem');
      problem.textContent = err.message;
      problem.hidden = false;
      index = 0;
      await new Promise((done) => setTimeout(done, 3000));
    }
  }
}

addEventListener('hashchange', follow);
get('agent/self').then(({ value }) => {
  document.getElementById('datacenter').textContent = value.Config.Datacenter + ' / ' + value.Config.NodeName;
}).catch(() => {});
follow();
