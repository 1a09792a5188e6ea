/** One panel for each value of something, all on the same axes; what differs within a panel are colours and dashes. */
export interface Plot {
  readonly title: string;
  readonly subtitle: string;
  readonly x: Axis;
  readonly y: Axis;
  /** A line across every panel. */
  readonly limit: { readonly at: number; readonly label: string };
  /** What the colours stand for, at most four. */
  readonly groups: readonly string[];
  /** What a solid line with full marks stands for, and what a dashed one with hollow marks. */
  readonly kinds: readonly string[];
  readonly panels: readonly Panel[];
}

export interface Axis {
  readonly label: string;
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
}

export interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
}

export interface Line {
  /** Their places in the plot's lists. */
  readonly group: number;
  readonly kind: number;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** Colours that are told apart also by those who see fewer (Okabe and Ito). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7'];
const DASHES = ['none', '5 3'];
const INK = '#222222';
const FAINT = '#dddddd';
const LIMIT = '#b00020';
const PANEL = { width: 250, height: 240, gap: 28 };
const MARGIN = { top: 112, right: 24, bottom: 52, left: 56 };
/** How far groups stand apart where they would cover each other. */
const APART = 4;
/** What is left free at both ends of the x axis, so that no mark stands on the frame. */
const INSET = 12;

/** The plot as an SVG file. */
export function renderPlot(plot: Plot): string {
  const count = plot.panels.length;
  const width = MARGIN.left + count * PANEL.width + (count - 1) * PANEL.gap + MARGIN.right;
  const height = MARGIN.top + PANEL.height + MARGIN.bottom;
  const middle = MARGIN.top + PANEL.height / 2;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="${INK}">`,
    `<title>${escape(plot.title)}</title>`,
    `<desc>${escape(plot.subtitle)}</desc>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(plot.title, MARGIN.left, 26, 'font-size="16" font-weight="bold"'),
    text(plot.subtitle, MARGIN.left, 46, 'fill="#555555"'),
    ...legend(plot, MARGIN.left, 72),
    text(plot.y.label, 18, middle, `text-anchor="middle" transform="rotate(-90 18 ${middle})"`),
    ...plot.panels.flatMap((panel, i) => {
      const left = MARGIN.left + i * (PANEL.width + PANEL.gap);
      return [`<g transform="translate(${left} ${MARGIN.top})">`, ...renderPanel(plot, panel, i === 0), '</g>'];
    }),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

function renderPanel({ x, y, limit, groups }: Plot, { title, lines }: Panel, isFirst: boolean): string[] {
  const { width, height } = PANEL;
  const xOf = (value: number): number => INSET + scale(value, x, width - 2 * INSET);
  const yOf = (value: number): number => height - scale(value, y, height);
  const limitAt = yOf(limit.at);
  return [
    text(title, width / 2, -10, 'text-anchor="middle" font-weight="bold"'),
    ...y.ticks.flatMap((tick) => [
      stroke(0, yOf(tick), width, yOf(tick), FAINT),
      ...(isFirst ? [text(String(tick), -8, yOf(tick) + 4, 'text-anchor="end"')] : []),
    ]),
    ...x.ticks.flatMap((tick) => [
      stroke(xOf(tick), height, xOf(tick), height + 5, INK),
      text(String(tick), xOf(tick), height + 19, 'text-anchor="middle"'),
    ]),
    stroke(0, 0, 0, height, INK),
    stroke(0, height, width, height, INK),
    text(x.label, width / 2, height + 38, 'text-anchor="middle"'),
    stroke(0, limitAt, width, limitAt, LIMIT, 'stroke-width="1.5"'),
    ...(isFirst ? [text(limit.label, width, limitAt - 5, `text-anchor="end" fill="${LIMIT}"`)] : []),
    ...lines.flatMap(({ group, kind, points }) => {
      const shift = (group - (groups.length - 1) / 2) * APART;
      const places = points.map((point) => [round(xOf(point.x) + shift), round(yOf(point.y))] as const);
      const path = places.map((place) => place.join(',')).join(' ');
      return [
        `<polyline points="${path}" fill="none" stroke="${colour(group)}" stroke-width="1.5" stroke-dasharray="${dash(kind)}"/>`,
        ...places.map(([cx, cy]) => mark(cx, cy, group, kind)),
      ];
    }),
  ];
}

function legend({ groups, kinds }: Plot, left: number, top: number): string[] {
  let at = left;
  const place = (width: number): number => (at += width) - width;
  const middle = top - 4;
  return [
    ...groups.flatMap((name, group) => {
      const from = place(34 + name.length * 7);
      return [mark(from + 5, middle, group, 0), text(name, from + 15, top)];
    }),
    ...kinds.flatMap((name, kind) => {
      const from = place(64 + name.length * 7);
      const dashes = `stroke-width="1.5" stroke-dasharray="${dash(kind)}"`;
      const fill = kind === 0 ? INK : '#ffffff';
      return [
        stroke(from, middle, from + 34, middle, INK, dashes),
        `<circle cx="${from + 17}" cy="${middle}" r="3.5" fill="${fill}" stroke="${INK}" stroke-width="1.5"/>`,
        text(name, from + 42, top),
      ];
    }),
  ];
}

function scale(value: number, { from, to }: Axis, length: number): number {
  return ((value - from) / (to - from)) * length;
}

function mark(cx: number, cy: number, group: number, kind: number): string {
  const fill = kind === 0 ? colour(group) : '#ffffff';
  return `<circle cx="${cx}" cy="${cy}" r="3.5" fill="${fill}" stroke="${colour(group)}" stroke-width="1.5"/>`;
}

function stroke(x1: number, y1: number, x2: number, y2: number, ink: string, more = ''): string {
  const ends = `x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"`;
  return `<line ${ends} stroke="${ink}"${more === '' ? '' : ` ${more}`}/>`;
}

function text(content: string, x: number, y: number, more = ''): string {
  return `<text x="${round(x)}" y="${round(y)}"${more === '' ? '' : ` ${more}`}>${escape(content)}</text>`;
}

function colour(group: number): string {
  return COLOURS[group] ?? INK;
}

function dash(kind: number): string {
  return DASHES[kind] ?? 'none';
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
