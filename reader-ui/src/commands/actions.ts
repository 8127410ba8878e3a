import { useEffect } from 'react';
import type { Actions } from './command.ts';

const current: Actions = {};

export function currentActions(): Actions {
  return current;
}

/** Offers a screen's part of the actions while the component is mounted. */
export function useActions<Part extends keyof Actions>(part: Part, actions: Actions[Part]): void {
  useEffect(() => {
    current[part] = actions;
    return () => {
      if (current[part] === actions) delete current[part];
    };
  }, [part, actions]);
}
