import type { Command } from './command.ts';

export const startCall: Command = {
  id: 'start-call',
  group: 'reading',
  label: (strings) => strings.commands.startCall,
  keys: ['p'],
  when: ({ reading }) => reading?.canWrite === true,
  run: ({ reading }) => reading?.startCall(),
};
