import { windowPresets } from '../viewer/windows.ts';
import type { Command } from './command.ts';

/** One command per entry of the preset table, so that the table is the only list. */
export const windowPresetCommands: Command[] = windowPresets.map(({ id, key, width, center }) => ({
  id: `window-${id}`,
  group: 'window',
  label: (strings) => `${strings.viewer.preset[id]} W${width} L${center}`,
  keys: [key],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.preset(id),
}));
