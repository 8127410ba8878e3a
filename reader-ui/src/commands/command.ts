import type { Strings } from '../strings/ja.ts';

/** What a screen offers to be done by key. A screen sets its part while it is shown. */
export interface Actions {
  page?: { help(): void; lock(): void };
  worklist?: { move(delta: number): void; open(): void; claim(): void; focusFilter(): void; hasSelection: boolean };
  viewer?: {
    step(delta: number): void;
    goTo(index: number): void;
    goToEnd(): void;
    preset(key: string): void;
    autoWindow(): void;
    headerWindow(): void;
    invert(): void;
    reset(): void;
    zoom(factor: number): void;
    tool(name: 'window' | 'pan' | 'zoom' | 'length' | 'arrow'): void;
    removeAnnotation(): void;
    pick(): void;
    canPick: boolean;
  };
  reading?: {
    startCall(): void;
    show(tab: 'context' | 'findings' | 'sign'): void;
    back(): void;
    canWrite: boolean;
  };
}

export type CommandGroup = 'worklist' | 'viewer' | 'window' | 'reading' | 'page';

export interface Command {
  id: string;
  group: CommandGroup;
  label(strings: Strings): string;
  /** Values of `KeyboardEvent.key`, letters in lower case; the first one is shown in the help. */
  keys: readonly string[];
  when(actions: Actions): boolean;
  run(actions: Actions): void;
}
