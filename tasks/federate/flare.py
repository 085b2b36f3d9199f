"""The two ends of a federation inside NVIDIA FLARE's processes: the server's workflow, and what a site executes.

FLARE builds these by name; nothing else of ours runs in its processes. What travels are arrays by name, which FLARE
carries without pickle; both ends check them once more. A site's weights go as changes, apart from all else, since that
is what FLARE's privacy filters apply to.
"""

import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

from domains.errors import UserError
from learners.federated import messages
from learners.federated.federation import Federation
from learners.federated.messages import Arrays
from learners.federated.sealed_federation import SealedFederation
from learners.federated.sealed_site import SealedSite
from learners.federated.site import Site
from tasks.federate.plan import (
    MODEL,
    QUESTIONS,
    SegmentEnd,
    ServerPlan,
    SitePlan,
    add_delivered,
    read_delivered,
    read_site,
)
from tasks.service.processes import file_lock

CHANGES, REST = "changes", "rest"
SLOW = 10  # times the patience for what is asked once and takes a site as long as it has domains


def pack(question: str, answer: Arrays, told: Arrays) -> DXO:
    """Return an answer as FLARE carries it: changes of the weights that were told in a round, and the rest."""
    changed = {n for n in answer if n in told} if question == "round" else set()
    changes = {n: np.asarray(answer[n] - told[n]) for n in sorted(changed)}
    rest = {n: value for n, value in answer.items() if n not in changed}
    parts = {CHANGES: DXO(DataKind.WEIGHT_DIFF, changes), REST: DXO(DataKind.ANALYTIC, rest)}
    return DXO(DataKind.COLLECTION, {name: part for name, part in parts.items() if part.data or name == REST})


def unpack(found: DXO, told: Arrays) -> Arrays:
    """Return the answer that ``pack`` made a DXO of; changes of what was not told, or of another shape, as they are.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is no such DXO.
    """
    answer, changes = dict(messages.check(found.data[REST].data)), {}
    if CHANGES in found.data:  # filters make single numbers of arrays without a dimension
        given = found.data[CHANGES].data.items()
        changes = messages.check({n: np.asarray(v) if isinstance(v, np.generic) else v for n, v in given})
    for name, change in changes.items():
        last = told.get(name)
        answer[name] = change
        if last is not None and last.shape == change.shape:
            answer[name] = np.asarray(last + change, last.dtype)
    return answer


class Server(Controller):
    """Asks the sites, for as many rounds as a segment has, or hands over the result where there is one.

    Args:
        folder: of the federation at the server, see ``ServerPlan``.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(task_check_period=0.5)
        self.folder = Path(folder)
        self.failed: set[str] = set()  # sites that said that they could not answer the last question

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Do nothing before the workflow."""

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Do nothing after it."""

    def process_result_of_unknown_task(
        self, client: Any, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """Say that an answer came too late; it does not count."""
        self.log_info(fl_ctx, f"{client.name}: its answer to {task_name} came too late")

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """Run one segment, when the job of a server that died has ended."""
        torch.set_num_threads(1)
        plan = ServerPlan.read(self.folder)
        with file_lock(self.folder / "lock"):
            try:
                self._run_segment(plan, abort_signal, fl_ctx)
            finally:
                plan.end_segment()

    def _run_segment(self, plan: ServerPlan, abort_signal: Signal, fl_ctx: FLContext) -> None:
        asked = 0

        def say(line: str) -> None:
            self.log_info(fl_ctx, line)
            plan.log(line)

        def ask(question: str, told: Arrays, sites: Collection[str]) -> dict[str, Arrays]:
            nonlocal asked
            if question == "round":
                asked += 1
                if asked > plan.segment:
                    raise SegmentEnd
            return self._ask(question, told, sites, plan, fl_ctx, abort_signal, say)

        if plan.outcome() is None:
            secret = torch.Generator().manual_seed(secrets.randbits(63))
            kind = SealedFederation if plan.encrypted else Federation
            federation = kind(
                *(plan.how, plan.identity, plan.dim, ask),
                episodes=plan.episodes,
                last=plan.last,
                path=plan.checkpoint,
                say=say,
                secret=secret,
            )
            try:
                found = federation.run()
            except SegmentEnd:
                return
            except ValueError as error:
                say(str(error))
                return
            plan.keep(found)
        missing = set(plan.sites) - read_delivered(self.folder)
        answers = self._ask(MODEL, plan.result(), missing, plan, fl_ctx, abort_signal, say)
        for site in sorted(site for site, answer in answers.items() if site in missing and "kept" in answer):
            add_delivered(self.folder, site)
            say(f"{site} has the result")
        for site in sorted(self.failed & missing):
            add_delivered(self.folder, site)
            say(f"{site} cannot use the result; see its log")

    def _ask(
        self,
        question: str,
        told: Arrays,
        sites: Collection[str],
        plan: ServerPlan,
        fl_ctx: FLContext,
        abort_signal: Signal,
        say: Any,
    ) -> dict[str, Arrays]:
        here = {client.name for client in self._engine.get_clients()}
        asked = sorted(here & set(sites) if sites else here)
        if not asked or abort_signal.triggered:
            return {}
        found: dict[str, Arrays] = {}
        self.failed = set()

        def receive(client_task: ClientTask, fl_ctx: FLContext) -> None:
            name, result = client_task.client.name, client_task.result
            client_task.result = None
            if result is None or result.get_return_code() != ReturnCode.OK:
                self.failed.add(name)
                return say(f"{name}: no answer to {question}: see its log")
            try:
                found[name] = unpack(from_shareable(result), told)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                say(f"{name}: its answer to {question} is not used: {error}")
            return None

        task = Task(question, pack("", told, {}).to_shareable(), timeout=plan.longest, result_received_cb=receive)
        patience = plan.patience * (SLOW if question == "prior" else 1)
        wait = {"min_responses": min(plan.least, len(asked)), "wait_time_after_min_received": patience}
        self.broadcast_and_wait(task, fl_ctx, asked, abort_signal=abort_signal, **wait)
        if abort_signal.triggered:
            raise SegmentEnd
        return dict(found)


class SiteExecutor(Executor):
    """Answers what the server asks, from the piles that the site's own flow prepared."""

    def __init__(self) -> None:
        super().__init__()
        self.site: Site | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Return the answer to a question; an error is said here in one line, and the server hears of one."""
        torch.set_num_threads(1)
        kit = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
        plan = read_site(kit)
        if task_name not in QUESTIONS:
            return make_reply(ReturnCode.TASK_UNKNOWN)
        try:
            told = unpack(from_shareable(shareable), {})
            if task_name == MODEL:
                if plan.key:
                    told = self._open(plan, told).reveal(told)
                plan.keep_result(told)
                plan.log("the federation is over; its result is here")
                answer: Arrays = {"kept": np.array(1)}
            else:
                if self.site is None or task_name == "hello":
                    self.site = plan.open(told if task_name == "hello" else None)
                answer = self.site.answer(task_name, told)
        except (ValueError, RuntimeError, UserError) as error:
            plan.log(f"no answer to {task_name}: {error}")
            if task_name == "hello":
                plan.refuse(str(error))
            self.log_error(fl_ctx, f"{task_name}: {error}")
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)
        return pack(task_name, answer, told).to_shareable()

    def _open(self, plan: SitePlan, told: Arrays) -> SealedSite:
        """Return the site that opens a result: one that was asked before knows what it has to be near to."""
        self.site = self.site or plan.open(told)
        assert isinstance(self.site, SealedSite)
        return self.site
