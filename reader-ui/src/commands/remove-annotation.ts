import type { Command } from './command.ts';

export const removeAnnotation: Command = {
  id: 'remove-annotation',
  group: 'viewer',
  label: (strings) => strings.commands.removeAnnotation,
  keys: ['Delete', 'Backspace'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.removeAnnotation(),
};
