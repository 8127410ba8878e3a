import { createContext, useContext, useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import type { Language } from '../lib/dates.ts';
import { en } from './en.ts';
import type { Strings } from './ja.ts';
import { ja } from './ja.ts';

/** The language is the only thing this page keeps in the browser. Japanese until someone switches. */
const storageKey = 'tancho.language';

interface LanguageChoice {
  strings: Strings;
  setLanguage(language: Language): void;
}

const Context = createContext<LanguageChoice>({ strings: ja, setLanguage: () => undefined });

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState<Language>(initialLanguage);
  const choice = useMemo(
    () => ({
      strings: language === 'ja' ? ja : en,
      setLanguage: (next: Language) => {
        remember(next);
        setLanguage(next);
      },
    }),
    [language],
  );
  document.documentElement.lang = language;
  return <Context value={choice}>{children}</Context>;
}

export function useStrings(): Strings {
  return useContext(Context).strings;
}

export function useSetLanguage(): (language: Language) => void {
  return useContext(Context).setLanguage;
}

function initialLanguage(): Language {
  return readStored() === 'en' ? 'en' : 'ja';
}

function readStored(): string | null {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null;
  }
}

function remember(language: Language): void {
  try {
    localStorage.setItem(storageKey, language);
  } catch {
    // A browser that stores nothing asks again next time.
  }
}
