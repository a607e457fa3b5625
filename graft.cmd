@echo off
rem The command line of Graft on Windows, from any folder. The first call sets up .venv; later ones start at once.
setlocal
set "ANY_PYTHON=%~dp0.venv\Scripts\python.exe"
if not exist "%ANY_PYTHON%" set "ANY_PYTHON=py"
if "%ANY_PYTHON%"=="py" where /q py || set "ANY_PYTHON=python"
"%ANY_PYTHON%" "%~dp0set_up.py" || exit /b 2
rem Advice names the command as it was given; -P: the folder of the user may have an app or data of its own.
set "GRAFT_PROGRAM=%~0"
set "PYTHONPATH=%~dp0;%PYTHONPATH%"
"%~dp0.venv\Scripts\python.exe" -P -m app %*
