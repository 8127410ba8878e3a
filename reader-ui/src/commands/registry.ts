import type { Command } from './command.ts';
import { autoWindow } from './auto-window.ts';
import { backToList } from './back-to-list.ts';
import { claimRequest } from './claim-request.ts';
import { firstImage } from './first-image.ts';
import { focusFilter } from './focus-filter.ts';
import { headerWindow } from './header-window.ts';
import { invert } from './invert.ts';
import { lastImage } from './last-image.ts';
import { lockScreen } from './lock-screen.ts';
import { nextImage } from './next-image.ts';
import { nextPage } from './next-page.ts';
import { nextRequest } from './next-request.ts';
import { openRequest } from './open-request.ts';
import { pickKeyImage } from './pick-key-image.ts';
import { previousImage } from './previous-image.ts';
import { previousPage } from './previous-page.ts';
import { previousRequest } from './previous-request.ts';
import { removeAnnotation } from './remove-annotation.ts';
import { resetView } from './reset-view.ts';
import { showContext } from './show-context.ts';
import { showFindings } from './show-findings.ts';
import { showHelp } from './show-help.ts';
import { showSign } from './show-sign.ts';
import { startCall } from './start-call.ts';
import { toolArrow } from './tool-arrow.ts';
import { toolLength } from './tool-length.ts';
import { toolPan } from './tool-pan.ts';
import { toolWindow } from './tool-window.ts';
import { toolZoom } from './tool-zoom.ts';
import { zoomIn } from './zoom-in.ts';
import { zoomOut } from './zoom-out.ts';
import { windowPresetCommands } from './window-presets.ts';

/** Every command, in the order of the help. When two share a key, the one whose screen is shown gets it. */
export const commands: readonly Command[] = [
  nextRequest,
  previousRequest,
  openRequest,
  claimRequest,
  focusFilter,
  nextImage,
  previousImage,
  nextPage,
  previousPage,
  firstImage,
  lastImage,
  zoomIn,
  zoomOut,
  toolWindow,
  toolPan,
  toolZoom,
  toolLength,
  toolArrow,
  removeAnnotation,
  resetView,
  pickKeyImage,
  ...windowPresetCommands,
  autoWindow,
  headerWindow,
  invert,
  startCall,
  showContext,
  showFindings,
  showSign,
  backToList,
  showHelp,
  lockScreen,
];
