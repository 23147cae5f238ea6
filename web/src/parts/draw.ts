// Draws lines over time. It is loaded when a chart is shown: uPlot is as large as several views.
import uPlot from 'uplot';

export type Drawing = {
  /** Epoch seconds. */
  at: number[];
  lines: { values: number[]; colour: string }[];
  /** A value, as the axis shows it. */
  value: (value: number) => string;
  /** A time, as the axis shows it. */
  time: (seconds: number) => string;
};

const HEIGHT = 180;
const FONT = '12px system-ui, sans-serif';

/** What a custom property says in the theme that is shown. */
function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export class Drawn {
  private readonly plot: uPlot;
  private readonly watchers: { disconnect: () => void }[];

  constructor(
    box: HTMLElement,
    private drawing: Drawing,
    pointed: (index: number | undefined) => void,
  ) {
    const axis = { stroke: () => colour('--quiet'), grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false }, font: FONT };
    const options: uPlot.Options = {
      width: Math.max(1, box.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false },
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [
        { ...axis, values: (_, splits) => splits.map((at) => this.drawing.time(at)), space: 80, size: 28 },
        { ...axis, values: (_, splits) => splits.map((value) => this.drawing.value(value)), size: 64 },
      ],
      series: [
        {},
        ...drawing.lines.map(({ colour: name }) => ({
          stroke: () => colour(name),
          width: 2,
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [(plot) => pointed(plot.cursor.idx ?? undefined)] },
    };
    this.plot = new uPlot(options, data(drawing), box);
    const size = new ResizeObserver(() => {
      if (box.clientWidth) this.plot.setSize({ width: box.clientWidth, height: HEIGHT });
    });
    size.observe(box);
    const theme = new MutationObserver(() => this.plot.redraw(false, true));
    theme.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    const system = matchMedia('(prefers-color-scheme: dark)');
    const again = () => this.plot.redraw(false, true);
    system.addEventListener('change', again);
    this.watchers = [size, theme, { disconnect: () => system.removeEventListener('change', again) }];
  }

  show(drawing: Drawing) {
    this.drawing = drawing;
    this.plot.setData(data(drawing));
  }

  end() {
    for (const watcher of this.watchers) watcher.disconnect();
    this.plot.destroy();
  }
}

function data({ at, lines }: Drawing): uPlot.AlignedData {
  return [at, ...lines.map(({ values }) => values)];
}
