import type { Command } from './command.ts';

export const claimRequest: Command = {
  id: 'claim-request',
  group: 'worklist',
  label: (strings) => strings.commands.claim,
  keys: ['c'],
  when: ({ worklist }) => worklist?.hasSelection === true,
  run: ({ worklist }) => worklist?.claim(),
};
