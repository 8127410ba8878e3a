import { z } from 'zod';

/** zod would otherwise try to compile functions from text, which the content security policy refuses. */
z.config({ jitless: true });
