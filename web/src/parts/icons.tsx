// Pictures of the menu: one path each, in the colour of the text.
const PATHS = {
  numbers: 'M7 2h10a1 1 0 0 1 1 1v18a1 1 0 0 1-1 1H7a1 1 0 0 1-1-1V3a1 1 0 0 1 1-1zm3 17h4',
  inbox: 'M4 4h16v12H9l-5 4z',
  webhooks: 'M4 12h10m-4-5 5 5-5 5M18 4v16',
  events: 'M3 12h4l3-8 4 16 3-8h4',
  campaigns: 'M4 10v4h3l8 5V5L7 10zm14-2a5 5 0 0 1 0 8',
  lanes: 'M4 6h16M4 12h11M4 18h7',
  message: 'M12 3a9 9 0 1 0 9 9M12 7v5l4 2',
  approvals: 'M4 4h16v16H4zM8 12l3 3 5-6',
  keys: 'M12 15a4.5 4.5 0 1 1 0-.01M11.5 11.5 20 3m-4 4 3 3m-5-1 2 2',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  done: 'M4 12l5 5L20 6',
  audit: 'M6 3h9l4 4v14H6zM9 12h7M9 16h7',
  health: 'M12 20s-8-5-8-11a4 4 0 0 1 8-1 4 4 0 0 1 8 1c0 6-8 11-8 11z',
  plugins: 'M9 3v5H5v13h14V8h-4V3M9 8h6',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
