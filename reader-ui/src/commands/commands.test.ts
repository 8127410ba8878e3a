// @vitest-environment happy-dom
import { afterEach, describe, expect, it } from 'vitest';
import { en } from '../strings/en.ts';
import { ja } from '../strings/ja.ts';
import { currentActions } from './actions.ts';
import { commands } from './registry.ts';
import { commandFor } from './use-keyboard.ts';

const key = (name: string, patch: object = {}) =>
  ({ key: name, isComposing: false, ctrlKey: false, metaKey: false, altKey: false, defaultPrevented: false, target: document.body, ...patch }) as Parameters<typeof commandFor>[0];

const nothing = () => undefined;
const help = { help: nothing, lock: nothing };

describe('commands', () => {
  afterEach(() => {
    document.body.replaceChildren();
    delete currentActions().page;
  });

  it('have their own id and words in both languages', () => {
    expect(new Set(commands.map(({ id }) => id)).size).toBe(commands.length);
    for (const command of commands) expect(command.label(ja) !== '' && command.label(en) !== '').toBe(true);
  });

  it('never share a key on one screen', () => {
    for (const screen of [['worklist', 'page'], ['viewer', 'window', 'reading', 'page']]) {
      const keys = commands.filter(({ group }) => screen.includes(group)).flatMap((command) => command.keys);
      expect(new Set(keys).size, screen.join()).toBe(keys.length);
    }
  });

  it('answer only while their screen is shown', () => {
    expect(commandFor(key('?'))).toBeNull();
    currentActions().page = help;
    expect(commandFor(key('?'))?.id).toBe('show-help');
    expect(commandFor(key('X'))?.id).toBe('lock-screen');
    expect(commandFor(key('k'))).toBeNull();
  });

  it('leave typing, input methods and the browser alone', () => {
    currentActions().page = help;
    const field = document.createElement('textarea');
    document.body.append(field);
    expect(commandFor(key('x', { target: field }))).toBeNull();
    expect(commandFor(key('x', { isComposing: true }))).toBeNull();
    expect(commandFor(key('Process'))).toBeNull();
    expect(commandFor(key('x', { ctrlKey: true }))).toBeNull();
  });

  it('sleep behind a dialog and a locked screen', () => {
    currentActions().page = help;
    const covered = document.createElement('div');
    covered.setAttribute('inert', '');
    document.body.append(covered);
    expect(commandFor(key('x'))).toBeNull();
  });
});
